"""What PyTorch says: written out in `torch_cases`, kept in ``torch.npz`` by `store`."""
