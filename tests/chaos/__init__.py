"""Kills processes under load and compares what the platform, the database and the helpdesk know."""
