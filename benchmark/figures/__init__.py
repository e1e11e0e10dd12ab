"""Pictures for people: arrays and words in, a page on disk out. Nothing here knows a method, a data set or torch."""
