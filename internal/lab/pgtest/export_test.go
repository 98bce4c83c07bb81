package pgtest

import (
	"context"
	"os"
)

// Shared is the state that the tests of one process share. Tests make a second
// one to simulate another process.
type Shared struct{ *shared }

func NewShared() Shared { return Shared{newShared()} }

func (s Shared) Create(ctx context.Context, template *Template) error {
	_, err := s.create(ctx, template)
	return err
}

func (s Shared) Prefix() string { return s.prefix }

func (s Shared) Shutdown(ctx context.Context) error { return s.shutdown(ctx) }

// LocalBinaries returns the directory of the programs that Start would use.
func LocalBinaries(t TB) string {
	t.Helper()
	found, err := findPrograms(os.Getenv(EnvBinaries))
	if err != nil {
		t.Fatalf("%v", err)
	}
	return string(found)
}
