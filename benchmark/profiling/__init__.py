"""What a method costs: parameters, multiply-accumulates, memory, time, and a file for a device without torch."""
