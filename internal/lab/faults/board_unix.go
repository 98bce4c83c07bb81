//go:build unix

package main

import (
	"os"
	"syscall"
)

// mapFile maps a file into memory, shared with all who do.
func mapFile(path string, size int) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	mapping, err := syscall.Mmap(int(f.Fd()), 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if closeErr := f.Close(); err == nil {
		err = closeErr // the mapping outlives the descriptor
	}
	return mapping, err
}
