"""What engines write: events, timings, shortages, last words."""
