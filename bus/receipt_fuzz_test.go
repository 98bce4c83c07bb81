package bus_test

import (
	"testing"

	"github.com/pgcoherence/pgcoherence/bus"
)

// What parses as a receipt comes back as it was, in its own spelling.
func FuzzReceipt(f *testing.F) {
	for _, seed := range []string{"", "a:1", ":0", "0123456789abcdef:18446744073709551615", "a:+1", "a:01", "a:-1", "a", "a:1:2"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var r, again bus.Receipt
		if r.UnmarshalText([]byte(text)) != nil {
			return
		}
		if err := again.UnmarshalText([]byte(r.String())); err != nil || again != r {
			t.Fatalf("%q is %q, and that is %q: %v", text, r, again, err)
		}
	})
}
