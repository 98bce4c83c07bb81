//go:build unix

package main

import "syscall"

// podAttributes puts a pod into a process group of its own, so that Ctrl-C reaches the parent alone and the parent ends
// the pods in order.
func podAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// freeze stops a pod in its tracks, as a paused virtual machine would be; thaw lets it go on.
func (m *member) freeze() error { return m.cmd.Process.Signal(syscall.SIGSTOP) }

func (m *member) thaw() {
	if m.cmd != nil {
		_ = m.cmd.Process.Signal(syscall.SIGCONT) // it may be gone
	}
}

func kill(pid int) error { return syscall.Kill(pid, syscall.SIGKILL) }
