"""What is measured, how, and what comes out."""
