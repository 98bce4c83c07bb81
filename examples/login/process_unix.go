//go:build unix

package main

import "syscall"

// childAttributes puts a process into a group of its own, so that Ctrl-C reaches the parent alone and the parent ends the
// others in order.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
