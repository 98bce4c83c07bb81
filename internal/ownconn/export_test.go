package ownconn

// Common are the settings of every connection.
var Common = common
