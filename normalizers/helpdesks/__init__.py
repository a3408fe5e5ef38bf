"""What helpdesks call back with, as replies."""
