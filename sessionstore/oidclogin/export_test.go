package oidclogin

// LocalPath is what becomes of a path to return to.
func LocalPath(path string) string { return localPath(path) }
