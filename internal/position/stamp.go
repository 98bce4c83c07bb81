package position

import (
	"fmt"
	"strconv"
	"strings"
)

// Stamp orders the snapshots of one primary: xmax up, then fewer in progress. The zero Stamp is before all others.
type Stamp struct {
	Xmax       uint64
	InProgress uint32
}

// AtLeast reports whether a snapshot with this stamp sees everything that one stamped other saw.
func (s Stamp) AtLeast(other Stamp) bool {
	return s.Xmax > other.Xmax || s.Xmax == other.Xmax && s.InProgress <= other.InProgress
}

// IsZero reports whether this is no snapshot's stamp.
func (s Stamp) IsZero() bool { return s == Stamp{} }

// String returns the form used on the wire, "xmax.inprogress".
func (s Stamp) String() string {
	return strconv.FormatUint(s.Xmax, 10) + "." + strconv.FormatUint(uint64(s.InProgress), 10)
}

// ParseStamp parses the result of String.
func ParseStamp(text string) (Stamp, error) {
	high, count, ok := strings.Cut(text, ".")
	if !ok {
		return Stamp{}, fmt.Errorf("position: malformed stamp %q", text)
	}
	xmax, err := strconv.ParseUint(high, 10, 64)
	if err != nil {
		return Stamp{}, fmt.Errorf("position: malformed stamp %q", text)
	}
	n, err := strconv.ParseUint(count, 10, 32)
	if err != nil {
		return Stamp{}, fmt.Errorf("position: malformed stamp %q", text)
	}
	return Stamp{Xmax: xmax, InProgress: uint32(n)}, nil
}

// MarshalText implements encoding.TextMarshaler.
func (s Stamp) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Stamp) UnmarshalText(text []byte) error {
	parsed, err := ParseStamp(string(text))
	if err == nil {
		*s = parsed
	}
	return err
}
