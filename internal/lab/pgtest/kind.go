package pgtest

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// Kind is a way to get a Postgres server.
type Kind string

// The kinds, in the order in which Start tries them.
const (
	KindDSN       Kind = "dsn"       // a server that already runs
	KindBinaries  Kind = "binaries"  // server binaries found on this machine
	KindContainer Kind = "container" // a container engine
	KindDownload  Kind = "download"  // server binaries fetched from a repository
)

// kinds lists all kinds in order of preference: what was configured by hand,
// what is quickest to start, what may need the network.
var kinds = []Kind{KindDSN, KindBinaries, KindContainer, KindDownload}

// crashable reports whether a server of this kind is a process of ours.
func (k Kind) crashable() bool { return k == KindBinaries || k == KindDownload }

// forcedKind returns the kind that PGCOHERENCE_POSTGRES forces, "" for none.
func forcedKind() (Kind, error) {
	value := os.Getenv(EnvKind)
	if value == "" {
		return "", nil
	}
	if kind := Kind(value); slices.Contains(kinds, kind) {
		return kind, nil
	}
	return "", fmt.Errorf("pgtest: %s=%q: want %s", EnvKind, value, kindList())
}

func kindList() string {
	names := make([]string, len(kinds))
	for i, kind := range kinds {
		names[i] = string(kind)
	}
	return strings.Join(names, ", ")
}
