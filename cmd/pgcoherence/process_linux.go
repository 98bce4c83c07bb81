package main

import "syscall"

// processAttributes are those of a program that must not go on without this one: then nobody renews the lease.
func processAttributes(group bool) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: group, Pdeathsig: syscall.SIGKILL}
}
