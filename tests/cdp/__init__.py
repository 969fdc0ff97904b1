"""The driver against a fake peer, folder trees and a real browser."""
