"""What the tests share: tiny networks, images and files, and scripts run by hand."""
