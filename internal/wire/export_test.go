package wire

// The two ways to read a body, for tests that compare them.
var (
	ReadPlain = readPlain
	ReadJSON  = readJSON
)
