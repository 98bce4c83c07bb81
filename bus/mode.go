package bus

import (
	"fmt"
)

// Mode says how a bus receives events.
type Mode uint8

// The modes.
const (
	// Auto listens for notifications, and polls the log while they do not arrive. It is the zero value.
	Auto Mode = iota
	// Listen listens and never polls. Where notifications do not arrive, the bus becomes Stale. Use it if that is
	// preferable to the load of polling.
	Listen
	// Poll never listens. It reads the log every PollInterval over one connection. Use it where LISTEN is known not
	// to work.
	Poll
)

// String returns the mode's name in lower case.
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
