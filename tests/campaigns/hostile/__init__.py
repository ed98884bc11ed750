"""Files that mean harm, made by code, and the child process that reads them under watch."""
