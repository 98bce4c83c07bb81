//go:build !unix

package main

import "errors"

func mapFile(string, int) ([]byte, error) {
	return nil, errors.New("memory cannot be shared with other processes on this platform")
}
