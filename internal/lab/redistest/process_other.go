//go:build !unix

package redistest

import "errors"

type process struct{ ended chan struct{} }

func startProcess(string, string, []string) (*process, error) {
	return nil, errors.New("servers are started on Unix only")
}

func (*process) kill()         {}
func (*process) freeze() error { return errors.ErrUnsupported }
func (*process) thaw() error   { return errors.ErrUnsupported }
