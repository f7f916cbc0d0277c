//! The REST gateway: the Auth0 MFA API over the gRPC services.
