package position

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Snapshot is a parsed pg_snapshot: every transaction below Xmin has ended, none at or above Xmax had begun to be
// visible, and Xip lists in ascending order those in between that were still in progress.
type Snapshot struct {
	Xmin, Xmax uint64
	Xip        []uint64
}

// ParseSnapshot reads the text form of pg_snapshot, "xmin:xmax:xip,xip,…".
func ParseSnapshot(text string) (Snapshot, error) {
	malformed := func() error { return fmt.Errorf("position: malformed snapshot %q", text) }
	low, rest, ok := strings.Cut(text, ":")
	if !ok {
		return Snapshot{}, malformed()
	}

	high, list, ok := strings.Cut(rest, ":")
	if !ok {
		return Snapshot{}, malformed()
	}

	var s Snapshot
	var err error
	if s.Xmin, err = strconv.ParseUint(low, 10, 64); err != nil {
		return Snapshot{}, malformed()
	}
	if s.Xmax, err = strconv.ParseUint(high, 10, 64); err != nil || s.Xmin > s.Xmax {
		return Snapshot{}, malformed()
	}
	if list == "" {
		return s, nil
	}

	s.Xip = make([]uint64, 0, strings.Count(list, ",")+1)
	for item := range strings.SplitSeq(list, ",") {
		xid, err := strconv.ParseUint(item, 10, 64)
		if err != nil || xid < s.Xmin || xid >= s.Xmax {
			return Snapshot{}, malformed()
		}
		if n := len(s.Xip); n > 0 && s.Xip[n-1] >= xid {
			return Snapshot{}, malformed()
		}

		s.Xip = append(s.Xip, xid)
	}

	return s, nil
}

// Sees reports whether a transaction with this id had ended when the snapshot was taken.
func (s Snapshot) Sees(xid uint64) bool {
	if xid >= s.Xmax {
		return false
	}
	_, inProgress := slices.BinarySearch(s.Xip, xid)
	return !inProgress
}

// Stamp returns the snapshot's place in the order of all snapshots of its primary.
func (s Snapshot) Stamp() Stamp { return Stamp{Xmax: s.Xmax, InProgress: uint32(len(s.Xip))} }

// String returns the text form that Postgres reads as pg_snapshot.
func (s Snapshot) String() string {
	b := make([]byte, 0, 24+12*len(s.Xip))
	b = strconv.AppendUint(b, s.Xmin, 10)
	b = append(b, ':')
	b = strconv.AppendUint(b, s.Xmax, 10)
	b = append(b, ':')
	for i, xid := range s.Xip {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, xid, 10)
	}
	return string(b)
}
