"""A method as one file that a device without torch can run."""
