"""Turn a raw event into messages, notices and receipts: pure, one module for each channel."""
