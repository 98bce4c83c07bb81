package cache

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

// A batch is ended when its own context is, which may be before the loader's context has learned of it. Its readers get the
// reason all the same.
func TestBatch_CauseIsThatOfWhatEndedFirst(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		batch, reading error // why they ended; nil: they have not
		want           error
	}{
		"neither":       {nil, nil, errEnded},
		"batch first":   {ErrClosed, nil, ErrClosed},
		"reading alone": {nil, ErrLoadTimeout, ErrLoadTimeout},
		"both":          {errAbandoned, context.Canceled, errAbandoned},
	} {
		l := &loadBatch[string, int]{}
		l.ctx, l.cancel = context.WithCancelCause(t.Context())
		reading, end := context.WithCancelCause(t.Context())
		l.reading = reading
		if test.batch != nil {
			l.cancel(test.batch)
		}
		if test.reading != nil {
			end(test.reading)
		}

		require.Equal(t, test.want, l.cause(errEnded), name)
		require.ErrorIs(t, l.cause(ErrNotFound), ErrNotFound, name)
		l.cancel(nil)
		end(nil)
	}
}
