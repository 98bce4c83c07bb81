package bus

import (
	"fmt"
	"strconv"
	"strings"
)

// Receipt identifies a committed transaction that published something. It can be passed to other processes as text.
// The zero Receipt means that nothing was published.
type Receipt struct {
	epoch string // the epoch this pod stood in when the transaction began, empty if it stood in none
	xid   uint64 // 0 if the result of the commit was lost
}

// IsZero reports whether nothing was published.
func (r Receipt) IsZero() bool { return r == Receipt{} }

// String returns "epoch:xid".
func (r Receipt) String() string {
	if r.IsZero() {
		return ""
	}
	return r.epoch + ":" + strconv.FormatUint(r.xid, 10)
}

// MarshalText implements encoding.TextMarshaler.
func (r Receipt) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. Empty text is the zero Receipt.
func (r *Receipt) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*r = Receipt{}
		return nil
	}
	epoch, number, ok := strings.Cut(string(text), ":")
	xid, err := strconv.ParseUint(number, 10, 64)
	if !ok || err != nil || len(epoch) > 64 {
		return fmt.Errorf("bus: malformed receipt %.80q", text)
	}
	*r = Receipt{epoch: epoch, xid: xid}
	return nil
}
