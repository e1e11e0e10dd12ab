"""The protocols, one readable file each."""
