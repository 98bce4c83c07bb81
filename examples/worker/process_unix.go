//go:build unix

package main

import "syscall"

// workerAttributes puts a worker into a process group of its own, so that Ctrl-C reaches the parent alone and the parent
// ends the workers in order.
func workerAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

const canStop = true

// freeze stops a worker in its tracks, as a paused virtual machine would be; thaw lets it go on.
func (p *process) freeze() error { return p.cmd.Process.Signal(syscall.SIGSTOP) }

func (p *process) thaw() error { return p.cmd.Process.Signal(syscall.SIGCONT) }
