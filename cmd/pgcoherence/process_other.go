//go:build !linux

package main

import "syscall"

// processAttributes are those of a program that runs under a lease.
func processAttributes(group bool) *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: group} }
