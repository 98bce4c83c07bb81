package bus

import (
	"fmt"
)

// Mode is how a bus learns of events.
type Mode uint8

// The modes.
const (
	// Auto listens, and polls the log for as long as notifications do not arrive. It is the zero value.
	Auto Mode = iota
	// Listen listens and never polls: where notifications do not arrive the bus becomes Stale, for those who rather see
	// that than the load of polling.
	Listen
	// Poll never listens: the log is read every PollInterval, through one connection. For places where LISTEN is known
	// not to work.
	Poll
)

// String is the mode's name in lower case.
func (m Mode) String() string {
	switch m {
	case Auto:
		return "auto"
	case Listen:
		return "listen"
	case Poll:
		return "poll"
	}
	return fmt.Sprintf("mode(%d)", uint8(m))
}
