package main

import "syscall"

// processAttributes are those of a program that must not go on without this one: then the lease is not renewed.
func processAttributes(group bool) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: group, Pdeathsig: syscall.SIGKILL}
}
