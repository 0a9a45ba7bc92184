"""``fmd flash``: make a card written with Raspberry Pi OS end its first boot with fmd watching. Runs on a laptop.

    target     a mounted boot partition or an image file: the only code that writes
    card       is it Raspberry Pi OS's boot partition, and how does its first boot take orders?
    package    what a .deb says of itself
    settings   what becomes /etc/fmd, and every file that names
    content    the files that go onto it: package, settings, models, and the orders for the first boot
    options, command    what may be asked for; options -> content -> target, a dry run unless told to write
    first-boot.sh, fmd-first-boot.service   what runs on the board

The package does the installing; what lies here is a thin layer over it, one for cloud-init (Trixie) and one for
firstrun.sh (Bookworm), so that a third way of a later system is a third small function in ``content``.
"""
