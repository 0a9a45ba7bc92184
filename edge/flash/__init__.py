"""``fmd flash``: prepare a card with Raspberry Pi OS so that its first boot ends with fmd running. Runs on a laptop.

    volumes    which cards are mounted, on Windows, macOS and Linux
    laptop     what the laptop says about its user, as defaults
    checks     the form of each answer or option
    download   fmd's package from the page of a release
    target     a mounted boot partition or an image file: the only code that writes
    fat        files of a FAT partition inside an image file
    card       which Raspberry Pi OS a boot partition belongs to, and how its first boot is configured
    package    checks of a Debian package
    crypt      hashes of login passwords
    settings   the files that become /etc/fmd: the settings, and every file that they name
    content    the files to write: package, settings, models, and the instructions for the first boot
    first-boot.sh, fmd-first-boot.service   the part that runs on the board

``edge.commands.flash`` connects them: options -> content -> target, a dry run unless ``--write`` is given. All of this
needs the standard library alone and starts no program: laptops have neither fmd's libraries nor the tools of Linux.

The Debian package does the installation. The code here only starts it: through cloud-init (Trixie) or firstrun.sh
(Bookworm). A third way, of a later system, would be a third small function in ``content``.
"""
