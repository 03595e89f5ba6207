"""Networks: their layers and parameters, the architectures of the course, initial weights, transfer, summary."""
