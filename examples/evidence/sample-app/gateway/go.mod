module example.com/helpdesk/gateway

go 1.22

require (
	github.com/dgrijalva/jwt-go v3.2.0+incompatible
	golang.org/x/text v0.3.5
	gopkg.in/yaml.v2 v2.2.2
)
