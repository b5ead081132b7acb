"""What a learned distribution is for: contacts, and objects put back around people."""
