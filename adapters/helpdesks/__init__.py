"""The callbacks of helpdesks, proven and decoded."""
