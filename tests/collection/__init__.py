"""The collection before the tools by which the Ansible world judges one: `make test-collection`."""
