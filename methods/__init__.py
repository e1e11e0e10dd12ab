"""The methods as plain PyTorch: tensors in, tensors out."""
