package scsstore_test

import (
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/sessionstore/scsstore"
)

func FuzzDecodeRow(f *testing.F) {
	imported, err := scs.GobCodec{}.Encode(time.Unix(1, 2), map[string]any{"a": 1})
	require.NoError(f, err)
	f.Add(append([]byte{'u'}, imported...))
	f.Add([]byte{'s', 1, 3, 1, 'a', 4, 2})
	f.Add([]byte{})

	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := scsstore.DecodeRow(scsstore.RowVersion(), b)
		if err != nil {
			return
		}

		again, err := scsstore.EncodeRow(d)
		require.NoError(t, err)
		require.Equal(t, b, again)
		_, err = scsstore.DecodeRow(scsstore.RowVersion()+1, b)
		require.Error(t, err)
	})
}

func FuzzDecodeFrame(f *testing.F) {
	frame, err := scsstore.EncodeFrame(map[string]any{"a": 1, "b": []any{"c"}})
	require.NoError(f, err)
	f.Add(frame)
	for i := range frame {
		f.Add(frame[:i])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		values, err := scsstore.DecodeFrame(append([]byte(scsstore.FrameMagic), b...))
		if err == nil {
			require.NotNil(t, values)
		}
	})
}
