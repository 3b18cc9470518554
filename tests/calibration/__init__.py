"""The verdict's error rates, measured by simulation of the shipped rule."""
