"""From files on disk to signals, labels and folds."""
