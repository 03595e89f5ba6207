"""Data sets, images, augmentation, and files of weights."""
