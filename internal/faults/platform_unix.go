//go:build unix

package main

import (
	"errors"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

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

// unprivileged makes a program run as nobody where we are root, and gives it the files: PgBouncer refuses to be root.
func unprivileged(files ...string) (*syscall.SysProcAttr, error) {
	attributes := &syscall.SysProcAttr{Setpgid: true}
	if os.Getuid() != 0 {
		return attributes, nil
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		return nil, err
	}
	uid, uidErr := strconv.Atoi(nobody.Uid)
	gid, gidErr := strconv.Atoi(nobody.Gid)
	err = errors.Join(uidErr, gidErr)
	for _, file := range files {
		err = errors.Join(err, os.Chown(file, uid, gid))
	}
	attributes.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return attributes, err
}
