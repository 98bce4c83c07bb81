//go:build unix

package demo

import "syscall"

// attributes puts a child into its own process group, so that Ctrl-C reaches only the parent, which then stops its children
// in order.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// CanFreeze reports whether Freeze works on this system.
const CanFreeze = true

// Freeze stops the process (SIGSTOP), as if its virtual machine were paused.
func (p *Process) Freeze() error { return p.cmd.Process.Signal(syscall.SIGSTOP) }

// Thaw continues a frozen process.
func (p *Process) Thaw() error { return p.cmd.Process.Signal(syscall.SIGCONT) }
