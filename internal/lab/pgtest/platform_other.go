//go:build !unix

package pgtest

import (
	"errors"
	"syscall"
)

// On other systems only the kinds dsn and container work. findPrograms and
// startDownload return an error before any of the following is called.
const canRunBinaries = false

var errNotUnix = errors.New("server binaries are run on Unix only")

type owner struct{}

func findOwner() (*owner, error)                  { return nil, errNotUnix }
func (o *owner) own(string) error                 { return errNotUnix }
func (o *owner) attributes() *syscall.SysProcAttr { return nil }
func signalStop(int, Mode) error                  { return errNotUnix }
func signalTerm(int) error                        { return errNotUnix }
func signalFreeze(int) error                      { return errNotUnix }
func signalKill(int) error                        { return errNotUnix }
func childrenOf(int) ([]int, error)               { return nil, errNotUnix }
func alive(int) bool                              { return false }
