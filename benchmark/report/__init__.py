"""`mibench report`: everything that a results folder holds as one HTML file that fetches nothing."""
