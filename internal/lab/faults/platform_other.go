//go:build !unix

package main

import (
	"errors"
	"os"
	"syscall"
)

func podAttributes() *syscall.SysProcAttr { return nil }

func (m *member) freeze() error { return errors.New("processes cannot be stopped on this platform") }

func (m *member) thaw() {}

func kill(pid int) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return p.Kill()
}
