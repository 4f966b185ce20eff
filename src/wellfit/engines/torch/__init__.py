"""The PyTorch engine's room: what needs PyTorch is imported from here, and only where it is asked for."""
